"""A FastAPI application with a lifespan, typed parameters and a streamed answer."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app):
    app.state.greeting = "Hello"
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def hello(name: str = "World"):
    return {"message": f"{app.state.greeting}, {name}!"}


@app.get("/squares/{count}")
def squares(count: int):
    return StreamingResponse((f"{number * number}\n" for number in range(count)), media_type="text/plain")
