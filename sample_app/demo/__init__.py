"""What `firehot_server.isolate_imports` saves: `python -m sample_app.demo`."""
