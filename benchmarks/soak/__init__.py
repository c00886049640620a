"""Constant load of every kind while files are saved: is every request answered, once, by the right code?"""
