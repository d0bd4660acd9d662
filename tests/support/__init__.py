"""Code that the tests share: servers, projects, endpoints, and queries."""
