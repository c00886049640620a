"""Which modules does an app import, and whose are they? Answered without running any of its code.

`origin` tells first-party from third-party files, `imports` reads the import statements of one source text,
`locate` finds the file of a module name, and `reach` walks from the app module through all of them.
"""
