"""Sphinx configuration of the site; `make docs` builds it from the repository root."""

import sys
from pathlib import Path

from nextclick.version import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "nextclick"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "package_docs"]
root_doc = "docs/index"
include_patterns = ["docs/**", "recipes/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = ["docs/_build", "docs/site"]
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"nextclick {version}"
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
templates_path = ["templates"]  # the version selector
suppress_warnings = ["misc.highlighting_failure"]  # JSON blocks with an ellipsis
