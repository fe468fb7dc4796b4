"""Every recording through the whole gateway: asked as a client would, held to what was recorded."""
