"""The command line: `absdb branch create staging`. One module a group of commands, all printing through Output.

Start reading at main.py, which finds the command and turns errors into exit codes.
"""
