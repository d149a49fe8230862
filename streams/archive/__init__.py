"""History beyond Kafka's retention: Parquet by line and day, pictures in the frame store, and questions to both."""
