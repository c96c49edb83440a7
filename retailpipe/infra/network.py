"""The network: a VPC in two availability zones, with public subnets for the database and unused private subnets."""

from __future__ import annotations

import ipaddress

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment

_RANGE = ipaddress.ip_network("10.20.0.0/16")
_ZONES = 2


class Network(Component):
    """The VPC, its subnets and routes.

    vpc_id, database_subnet_ids: where to place the database.
    ready: resources that must exist before the database is created.

    The database is in the public subnets, because laptops connect to it over the internet. Its security group limits
    which addresses may connect.
    """

    def __init__(self, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("Network", name, deployment, opts)
        blocks = [str(block) for block in _RANGE.subnets(new_prefix=20)]
        zones = aws.get_availability_zones(
            state="available",
            filters=[aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])],
            opts=pulumi.InvokeOptions(parent=self),
        ).names[:_ZONES]
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(_RANGE),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=deployment.tags("vpc"),
            opts=self.child(),
        )
        # A new VPC's default security group allows traffic between its members. Remove its rules, so that a resource
        # that gets this group by mistake is not reachable.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.id, ingress=[], egress=[], tags=deployment.tags("default"), opts=self.child()
        )
        gateway = aws.ec2.InternetGateway(
            f"{name}-gateway", vpc_id=vpc.id, tags=deployment.tags("gateway"), opts=self.child()
        )
        public_routes = self._routes("public", vpc)
        to_internet = aws.ec2.Route(
            f"{name}-to-internet",
            route_table_id=public_routes.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child(),
        )
        private_routes = self._routes("private", vpc)
        public = [self._subnet("public", vpc, zone, blocks[n], public_routes) for n, zone in enumerate(zones)]
        for number, zone in enumerate(zones):
            self._subnet("private", vpc, zone, blocks[8 + number], private_routes)
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{deployment.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[public_routes.id, private_routes.id],
            tags=deployment.tags("s3"),
            opts=self.child(),
        )
        if deployment.settings.nat_gateway:
            self._add_nat_gateway(public[0], private_routes, to_internet)
        # RDS needs this route to give the database a public address. Deletion is in reverse order: the internet gateway
        # cannot be detached while the database has a public address.
        self.ready: list[pulumi.Resource] = [to_internet]
        self.vpc_id = vpc.id
        self.database_subnet_ids: list[pulumi.Input[str]] = [subnet.id for subnet in public]
        self.register_outputs({"vpc_id": self.vpc_id})

    def _routes(self, kind: str, vpc: aws.ec2.Vpc) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            f"{self.name}-{kind}", vpc_id=vpc.id, tags=self.deployment.tags(kind), opts=self.child()
        )

    def _subnet(self, kind: str, vpc: aws.ec2.Vpc, zone: str, block: str, routes: aws.ec2.RouteTable) -> aws.ec2.Subnet:
        part = f"{kind}-{zone[-1]}"
        subnet = aws.ec2.Subnet(
            f"{self.name}-{part}",
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=block,
            map_public_ip_on_launch=False,
            tags=self.deployment.tags(part),
            opts=self.child(),
        )
        aws.ec2.RouteTableAssociation(
            f"{self.name}-{part}", subnet_id=subnet.id, route_table_id=routes.id, opts=self.child()
        )
        return subnet

    def _add_nat_gateway(self, subnet: aws.ec2.Subnet, routes: aws.ec2.RouteTable, to_internet: aws.ec2.Route) -> None:
        """Connect the subnets of a route table to the internet through a NAT gateway in a public subnet."""
        address = aws.ec2.Eip(f"{self.name}-nat", domain="vpc", tags=self.deployment.tags("nat"), opts=self.child())
        gateway = aws.ec2.NatGateway(
            f"{self.name}-nat",
            allocation_id=address.allocation_id,
            subnet_id=subnet.id,
            tags=self.deployment.tags("nat"),
            opts=self.child(depends_on=[to_internet]),
        )
        aws.ec2.Route(
            f"{self.name}-to-nat",
            route_table_id=routes.id,
            destination_cidr_block="0.0.0.0/0",
            nat_gateway_id=gateway.id,
            opts=self.child(),
        )
