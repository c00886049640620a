"""firehot_server for Flask: `flask firehot`, which reloads by forking."""
