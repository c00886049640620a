"""`python -m firehot_server`: the same as `firehot-uvicorn`."""

from firehot_server.cli import main

if __name__ == "__main__":
    main(prog_name="python -m firehot_server")
