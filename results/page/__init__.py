"""The status page: a folder of static files, made from results alone."""
