"""The store behind the Responses life cycle; `app.state.state.open_state` opens it."""
