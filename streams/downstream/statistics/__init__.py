"""Line statistics: verdicts and parts of one partition, folded into windows of event time, revision by revision."""
