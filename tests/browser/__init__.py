"""The browser suite: JupyterLab in Chromium, on a copy of the notebooks, as a user has it before the eyes.

A test takes the fixture `lab`, opens a notebook of the repository or one made of a few cells, acts on the page,
and asserts both what the page shows and what the kernel holds:

    def test_button_makes_a_branch(lab):
        notebook = lab.make("import absdb\\npanel = absdb.workbench(absdb.connect(':memory:'))\\npanel")
        notebook.run_all()
        bench = Workbench(notebook, 0)
        bench.field("Name").fill("staging")
        bench.press("Make branch", says="staging was made")
        assert notebook.ask("sorted(panel.instance)") == "['main', 'staging']"

`expect` is that of `playwright.sync_api`: it waits until the page shows what it says. A click comes back before
the kernel has seen it, so first `expect` something on the page, then `ask` the kernel.

Tests that share a notebook of their module take `watched` in the place of `lab`, which closes what is open.

A test fails when the page raises an error or asks any other host than the server for anything. Pictures go to
the directory named by ABSDB_SCREENSHOTS, if it is set; also one of each test that fails.
"""
