"""AWS on loopback: one simulated Aurora cluster that real boto3 clients reach by AWS_ENDPOINT_URL.

    with Endpoint(Cluster("shop", frames), now) as aws:
        monkeypatch.setenv(…)  for all of aws.environment
        boto3.client("pi").get_resource_metrics(…)
        Endpoint(…, misbehaving={"truncates_points"})       one of MISBEHAVIOURS
        aws.calls, aws.count()              the calls, with their parameters
        aws.throttle("pi:GetResourceMetrics", times=3); aws.deny("logs:FilterLogEvents")
        aws.fail("rds:DescribeEvents", "InternalFailure", status=500)

Operations played:
    pi          GetResourceMetrics, DescribeDimensionKeys, GetDimensionKeyDetails, GetResourceMetadata,
                ListAvailableResourceMetrics, ListAvailableResourceDimensions
    rds         DescribeDBClusters, DescribeDBInstances, DescribeDBClusterEndpoints, DescribeDBParameters,
                DescribeDBClusterParameters, DescribeEvents, DescribeDBRecommendations, DescribeDBLogFiles,
                DownloadDBLogFilePortion
    cloudwatch  GetMetricData, ListMetrics
    logs        FilterLogEvents, GetLogEvents, DescribeLogGroups, DescribeLogStreams
    sts         GetCallerIdentity

Wire formats and bounds of parameters come from botocore's service models; all else follows AWS's documentation.
If the documentation states nothing, the docstring states the assumption. The tested package is not imported here.
`python tests/aws_endpoint --help` serves a store's cluster by hand.
"""

from aws_endpoint.cluster import Cluster
from aws_endpoint.misbehaviours import MISBEHAVIOURS
from aws_endpoint.server import Call, Endpoint

__all__ = ["MISBEHAVIOURS", "Call", "Cluster", "Endpoint"]
