"""firehot_server for Django: `manage.py runserver` that reloads by forking."""
