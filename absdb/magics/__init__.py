"""The cells of notebooks: `%absdb`, `%%absdb` and `%%sql`, `%%branch`, `%undo`, and what completes them.

`%load_ext absdb` calls extension.py, which registers the magics of commands.py; each verb has its module.
"""
