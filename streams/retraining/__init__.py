"""The loop closed: from samples and decisions to a proposed model, approved by people. What trains is `models`."""
