"""Reports of an audit: terminal, JSON, JUnit, Markdown, HTML."""
