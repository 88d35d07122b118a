"""The browser suite: JupyterLab in Chromium, on a copy of the notebooks, as a user has it before the eyes.

A test takes the fixture `lab`, opens a notebook of the repository or one made of a few cells, acts on the page,
and asserts both what the page shows and what the kernel holds:

    def test_button_makes_a_branch(lab):
        notebook = lab.make("import absdb\\npanel = absdb.workbench(':memory:')\\npanel")
        notebook.run_all()
        notebook.cell(0).get_by_role("button", name="Create branch").click()
        expect(notebook.output(0)).to_contain_text("staging")
        assert notebook.ask("sorted(panel.instance)") == "['main', 'staging']"

`expect` is that of `playwright.sync_api`: it waits until the page shows what it says. A click comes back before
the kernel has seen it, so first `expect` something on the page, then `ask` the kernel.

A test fails when the page raises an error or asks any other host than the server for anything. Pictures go to
the directory named by ABSDB_SCREENSHOTS, if it is set; also one of each test that fails.
"""
