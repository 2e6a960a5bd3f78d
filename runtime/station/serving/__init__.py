"""What stands between a socket and a route: limits, the guard, who may call, problems as JSON, metrics.

May import ``records`` and what lies below ``station``; routes import it. Hands on an ASGI application and a server.
"""
