"""AWS Secrets Manager, through boto3."""
