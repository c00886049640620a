"""Fieldbook: a small log of bird sightings, made to be edited while it runs."""
