"""The AWS CDK app: which image runs where, who may call it, and who is told when it fails."""
