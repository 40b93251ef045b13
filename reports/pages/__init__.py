"""Reports as files: markdown, pages for a browser, the index."""
