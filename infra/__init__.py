"""The AWS CDK app: images, functions, permissions and alarms of each environment."""
