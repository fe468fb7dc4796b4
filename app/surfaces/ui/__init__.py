"""The window: pages for administrators at ``/ui``, the first client of the admin API.

``routes`` are its addresses, ``application`` who may come in, ``login`` how, ``requests`` how a page asks the
API, ``rendering`` how it is written; ``pages`` has a module for each page, ``templates`` its HTML. A page
holds no script and no style of its own. Tests: tests/surfaces/test_window.py, tests/surfaces/test_browser.py.
"""
