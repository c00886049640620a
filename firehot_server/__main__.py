"""`python -m firehot_server`: the same as `firehot-uvicorn`."""

from firehot_server.entry import main

if __name__ == "__main__":
    main("python -m firehot_server")
