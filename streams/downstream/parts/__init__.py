"""One decision for every part and pass from its views, and alarms about triggers and parts not inspected."""
