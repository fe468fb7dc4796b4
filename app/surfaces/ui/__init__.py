"""The window: pages for administrators at ``/ui``, the first client of the admin API.

``routes`` lists its paths, ``application`` checks the session, ``login`` starts and ends sessions, ``requests`` calls the
admin API, ``rendering`` writes pages; ``pages`` has a module for each page, ``templates`` its HTML. Pages have no inline
script and no inline style. Tests: tests/surfaces/test_window.py, tests/surfaces/test_browser.py.
"""
