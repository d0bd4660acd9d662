"""A sample network and database, without any connection to or from the internet."""

from typing import Any

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations, aws_ec2, aws_logs, aws_rds
from constructs import Construct

from infra import names, retention
from infra.environments import Database

DATABASE = "alquimista"
LOGIN = "migrator"


class SampleDatabaseStack(Stack):
    """A VPC of isolated subnets with an Aurora Serverless v2 and the endpoint of Secrets Manager."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        availability_zones: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        vpc = _network(self, environment, availability_zones)
        cluster_group = _group(self, "ClusterGroup", vpc, "The cluster: each function lets itself in")
        endpoint_group = _group(self, "EndpointGroup", vpc, "The secrets endpoint: each function lets itself in")
        vpc.add_interface_endpoint(
            "SecretsEndpoint",
            service=aws_ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
            security_groups=[endpoint_group],
            # otherwise the whole range of the VPC would be allowed in
            open=False,
        )
        cluster = _cluster(self, environment, vpc, cluster_group)
        self.database = Database(
            vpc_id=vpc.vpc_id,
            isolated_subnet_ids=tuple(subnet.subnet_id for subnet in vpc.isolated_subnets),
            cluster_security_group_id=cluster_group.security_group_id,
            endpoint_security_group_id=endpoint_group.security_group_id,
            secret_arn=cluster.secret.secret_arn,
            host=cluster.cluster_endpoint.hostname,
            name=DATABASE,
        )


def _network(stack: Stack, environment: str, availability_zones: tuple[str, ...]) -> aws_ec2.Vpc:
    vpc = aws_ec2.Vpc(
        stack,
        "Network",
        availability_zones=list(availability_zones),
        nat_gateways=0,
        subnet_configuration=[
            aws_ec2.SubnetConfiguration(name="Isolated", subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
        ],
    )
    log = aws_logs.LogGroup(
        stack, "FlowLog", retention=retention.of_logs(environment), removal_policy=retention.of_resource(environment)
    )
    vpc.add_flow_log("Flows", destination=aws_ec2.FlowLogDestination.to_cloud_watch_logs(log))
    return vpc


def _group(stack: Stack, construct_id: str, vpc: aws_ec2.Vpc, description: str) -> aws_ec2.SecurityGroup:
    return aws_ec2.SecurityGroup(stack, construct_id, vpc=vpc, description=description, allow_all_outbound=False)


def _cluster(stack: Stack, environment: str, vpc: aws_ec2.Vpc, group: aws_ec2.SecurityGroup) -> aws_rds.DatabaseCluster:
    protected = names.is_protected(environment)
    cluster = aws_rds.DatabaseCluster(
        stack,
        "Cluster",
        engine=aws_rds.DatabaseClusterEngine.aurora_postgres(version=aws_rds.AuroraPostgresEngineVersion.VER_17_7),
        vpc=vpc,
        vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED),
        security_groups=[group],
        writer=aws_rds.ClusterInstance.serverless_v2("Writer", publicly_accessible=False),
        # with 0 the cluster pauses while idle, and takes some 15 s to resume
        serverless_v2_min_capacity=0.5 if protected else 0,
        serverless_v2_max_capacity=4,
        default_database_name=DATABASE,
        credentials=aws_rds.Credentials.from_username(LOGIN),
        # RDS rotates the password without a function of ours in the network
        manage_master_user_password=True,
        iam_authentication=True,
        storage_encrypted=True,
        deletion_protection=protected,
        backup=aws_rds.BackupProps(retention=Duration.days(30 if protected else 7)),
        copy_tags_to_snapshot=True,
        removal_policy=RemovalPolicy.SNAPSHOT,
    )
    if not protected:
        reason = "A development database is deleted with its stack; a snapshot of it remains."
        Validations.of(cluster).acknowledge(Acknowledgment(id="AwsSolutions::AwsSolutions-RDS10", reason=reason))
    return cluster
