"""Checks whether a server conforms to OpenAI's APIs: ``sluice conformance``.

``checks`` runs the checks that ``chat``, ``responses``, ``lifecycle``, ``errors`` and ``others`` list. They send requests
with ``client``. ``chat_stream`` and ``responses_stream`` are the grammars of streams; our own tests use them as well.
"""
