"""Whether a server keeps the contract of OpenAI's APIs, found out by asking it: ``sluice conformance``.

``checks`` runs what the modules ``chat``, ``responses``, ``lifecycle``, ``errors`` and ``others`` list, by a
``client``; ``responses_stream`` and ``chat_stream`` are the grammars of streams, which our own tests use, too.
"""
