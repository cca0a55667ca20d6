"""How Sphinx makes the site of the pages that `pages.py` has laid out; see `make docs`."""

from nextclick.version import __version__

project = "nextclick"
version = release = __version__
extensions = ["myst_parser"]
root_doc = "index"
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"nextclick {version}"
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path: list[str] = []
suppress_warnings = ["misc.highlighting_failure"]  # a ```json block that shows its form with dots
