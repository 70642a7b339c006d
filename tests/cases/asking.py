"""Questions to the service over HTTP, asked in this process."""

from __future__ import annotations

import asyncio

import httpx

from daskals.config.serving import Limits
from daskals.serving.web.live import Live
from daskals.serving.web.service import make_service

PROFILE = [{"item": "Toy Story (1995)", "rating": 5}, {"item": "Alien (1979)", "rating": 1.5}]
LIMITS = Limits(max_body=4000, max_profile=5, max_n=30, max_pairs=6)


def ask(
    live: Live, *requests: httpx.Request | tuple, limits: Limits = LIMITS, token: str | None = None, **more
):
    """Answer requests at the same time, in their order; a request is method, address and perhaps JSON."""
    service = make_service(live, limits, token)

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=service)
        lifespan = service._app.router.lifespan_context(service._app)
        async with lifespan, httpx.AsyncClient(transport=transport, base_url="http://here", **more) as client:
            return await asyncio.gather(
                *(
                    client.request(method, url, json=body[0] if body else None)
                    for method, url, *body in requests
                )
            )

    return asyncio.run(all_of_them())
