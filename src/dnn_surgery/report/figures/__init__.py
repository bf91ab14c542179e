"""Pictures of problems, plans and runs, one file each, drawn with matplotlib (the extra ``report``)."""
