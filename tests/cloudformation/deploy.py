"""The life of the template in an AWS account: deploy.py WAYBILL, against an emulator on this machine.

Created with version 1; version 2 published beside it; a canary; all of it; an edited version refused; version 1 retired; a ramp rolled
back by its alarm. Says each step that holds, ends at the first that does not.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time

from stack import Cloud, Stack, changes
from versions import routed, shipped, with_second_version, without_first_version

waybill = sys.argv[1]


def holds(what: str, condition: bool, found=None) -> None:
    if not condition:
        sys.exit(f"NOT: {what}\nfound: {found}")
    print(f"holds: {what}", flush=True)


def gate(proposed: dict, *retire: str) -> tuple[int, str]:
    """What `waybill graph gate` says of a change set."""
    options = [word for name in retire for word in ("--retire", name)]
    text = json.dumps(proposed, default=str)
    ran = subprocess.run([waybill, "graph", "gate", *options], input=text, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def of_file(text: str) -> dict:
    """Version to sha256, as Waybill reads the file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        ran = subprocess.run(
            [waybill, "graph", "show", "--json", "--machine", "delivery-order", "--file", file.name],
            capture_output=True, text=True, check=False,
        )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return {graph["version"]: graph["sha256"] for graph in json.loads(ran.stdout)}


def canonical(document: dict) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class AppConfig:
    """What the service would read."""

    def __init__(self, cloud: Cloud, outputs: dict):
        self.api, self.data, self.outputs = cloud.client("appconfig"), cloud.client("appconfigdata"), outputs
        self.application = outputs["ApplicationId"]

    def versions(self, profile: str) -> dict:
        listed = self.api.list_hosted_configuration_versions(
            ApplicationId=self.application, ConfigurationProfileId=self.outputs[profile]
        )
        return {item["VersionNumber"]: item["VersionLabel"] for item in listed["Items"]}

    def version(self, profile: str, number: int) -> dict:
        answer = self.api.get_hosted_configuration_version(
            ApplicationId=self.application, ConfigurationProfileId=self.outputs[profile], VersionNumber=number
        )
        return json.loads(answer["Content"].read())

    def served(self, profile: str) -> dict:
        session = self.data.start_configuration_session(
            ApplicationIdentifier=self.application,
            EnvironmentIdentifier=self.outputs["EnvironmentId"],
            ConfigurationProfileIdentifier=self.outputs[profile],
        )
        answer = self.data.get_latest_configuration(ConfigurationToken=session["InitialConfigurationToken"])
        return json.loads(answer["Configuration"].read())


def publish_and_activate(cloud: Cloud, stack: Stack) -> str:
    first = shipped()
    stack.execute(stack.propose(first, "CREATE"))
    config = AppConfig(cloud, stack.outputs())
    holds("version 1 is there", config.versions("GraphProfileId") == {1: "graph-v1"}, config.versions("GraphProfileId"))
    served = config.served("GraphProfileId")
    holds("what is served has the hash of the file", canonical(served) == of_file(first)[1], canonical(served))

    second = with_second_version(first)
    proposed = stack.propose(second)
    published = {"DeliveryGraphV2": "Add", "GraphPublication": "Modify"}
    holds("publishing version 2 only adds", changes(proposed) == published, changes(proposed))
    holds("the gate lets it through", gate(proposed)[0] == 0, gate(proposed))
    routing = config.served("RoutingProfileId")
    stack.execute(proposed)
    holds("both versions are there", config.versions("GraphProfileId") == {1: "graph-v1", 2: "graph-v2"})
    holds("no order is routed otherwise", config.served("RoutingProfileId") == routing)
    of_both = {number: canonical(config.version("GraphProfileId", number)) for number in (1, 2)}
    holds("both have the hash of the file", of_both == of_file(second), of_both)

    canary = routed(second, 2, [1, 2], {1: 90, 2: 10})
    proposed = stack.propose(canary)
    activated = {"DeliveryGraphRouting": "Modify", "RoutingRollout": "Modify"}
    holds("a canary changes the routing alone", changes(proposed) == activated, changes(proposed))
    holds("the gate lets it through", gate(proposed)[0] == 0, gate(proposed))
    stack.execute(proposed)
    shares = config.served("RoutingProfileId")["active"]
    holds("new orders are shared 90 to 10", shares == [{"version": 1, "weight": 90}, {"version": 2, "weight": 10}], shares)

    whole = routed(second, 3, [1, 2], {2: 100})
    stack.execute(stack.propose(whole))
    shares = config.served("RoutingProfileId")["active"]
    holds("new orders are all of version 2", shares == [{"version": 2, "weight": 100}], shares)
    history = config.versions("RoutingProfileId")
    holds("every routing is kept", list(history.values()) == ["routing-r1", "routing-r2", "routing-r3"], history)
    return whole


def refuse_and_retire(cloud: Cloud, stack: Stack, whole: str) -> None:
    config = AppConfig(cloud, stack.outputs())
    edited = whole.replace("after: P14D", "after: P13D", 1)
    proposed = stack.propose(edited)
    code, said = gate(proposed)
    holds("an edited version 1 is refused", code == 1 and "DeliveryGraphV1" in said, (code, said))

    at_once = routed(with_second_version(shipped()), 9, [1, 2], {2: 100})
    again = Stack(cloud, "waybill-graph-other")
    again.execute(again.propose(shipped(), "CREATE"))
    code, said = gate(again.propose(at_once))
    holds("publishing and activating at once is refused", code == 1, (code, said))

    alone = without_first_version(routed(whole, 4, [2], {2: 100}))
    proposed = stack.propose(alone)
    holds("version 1 does not go unnamed", gate(proposed)[0] == 1, gate(proposed))
    holds("version 1 goes by its name", gate(proposed, "DeliveryGraphV1")[0] == 0, gate(proposed, "DeliveryGraphV1"))
    stack.execute(proposed)
    kept = config.versions("GraphProfileId")
    holds("its content stays readable", kept == {1: "graph-v1", 2: "graph-v2"}, kept)


def roll_back(cloud: Cloud, stack: Stack) -> None:
    """The emulator ramps only what is started by hand, so the ramp is started as CloudFormation would start it."""
    outputs = stack.outputs()
    config, alarms = AppConfig(cloud, outputs), cloud.client("cloudwatch")
    before = config.served("RoutingProfileId")
    strategy = config.api.create_deployment_strategy(
        Name="ramp", DeploymentDurationInMinutes=1, GrowthFactor=50, FinalBakeTimeInMinutes=1, ReplicateTo="NONE"
    )
    place = {"ApplicationId": config.application, "EnvironmentId": outputs["EnvironmentId"]}
    started = config.api.start_deployment(
        **place, DeploymentStrategyId=strategy["Id"], ConfigurationProfileId=outputs["RoutingProfileId"], ConfigurationVersion="1"
    )
    alarm = alarms.describe_alarms()["MetricAlarms"][0]["AlarmName"]
    alarms.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    for _ in range(150):
        state = config.api.get_deployment(**place, DeploymentNumber=started["DeploymentNumber"])["State"]
        if state == "ROLLED_BACK":
            break
        time.sleep(0.2)
    holds("the alarm rolls the ramp back", state == "ROLLED_BACK", state)
    after = config.served("RoutingProfileId")
    holds("the routing is as before", after == before, after)


with Cloud() as cloud:
    stack = Stack(cloud)
    whole = publish_and_activate(cloud, stack)
    refuse_and_retire(cloud, stack, whole)
    roll_back(cloud, stack)
