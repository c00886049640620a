"""Which modules does an app import, and whose are they? Answered without running any of its code.

`origin` tells first-party from third-party files, `imports` reads the import statements of one source text,
`locate` finds the file of a module name, and `reach` walks from the app module through all of them.

For a library there is no app module: `package` answers for all files below a package. `sources` lists them, `scans`
tells what each imports and whether that still holds, `scan_cache` keeps it for the next run, and `sharing` spreads the
first scan over all processors, with processes that run `helper`.
"""
