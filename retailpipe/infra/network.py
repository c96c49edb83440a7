"""The network: a VPC over two zones, with public subnets for the database and private ones for what may come."""

from __future__ import annotations

import ipaddress

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment

_RANGE = ipaddress.ip_network("10.20.0.0/16")
_ZONES = 2


class Network(Component):
    """vpc_id, database_subnet_ids: where the database goes; ready: what it has to wait for.

    A laptop reaches the database from outside, so it stands in the public subnets, behind its security group.
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
        # The VPC's own group lets its members talk to each other; emptied, nothing is open by an oversight.
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
            self._translate(public[0], private_routes, to_internet)
        # RDS gives no public address where there is no way to the internet, and takes none back when it has gone.
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

    def _translate(self, subnet: aws.ec2.Subnet, routes: aws.ec2.RouteTable, to_internet: aws.ec2.Route) -> None:
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
