"""What the tests share: servers, projects, endpoints, and questions to them."""
