"""The rules of cloudformation/guard over every template, and over templates that break them: policy.py [TEMPLATE…].

With templates as arguments only those are judged. Without, each shipped template must pass, and each mutation must fail by its rule.
"""

import json
import pathlib
import re
import sys

from cfn_guard_rs.cfn_guard_rs import run_checks_rs
import jsonschema
from cfnlint.decode import cfn_yaml

from versions import block, replaced, shipped

HOME = pathlib.Path(__file__).parents[2] / "cloudformation"
RULES = "\n".join(file.read_text(encoding="utf-8") for file in sorted((HOME / "guard").glob("*.guard")))


def broken(text: str) -> set[str]:
    """The rules that a template breaks."""
    report = run_checks_rs(json.dumps(cfn_yaml.loads(text)), RULES, False)
    # A report that quotes much of the template loses its beginning, so it is read from its end: what is not kept there is broken.
    lists = re.findall(r'^  "(?:compliant|not_applicable)": \[(.*?)\]', report, re.MULTILINE | re.DOTALL)
    assert len(lists) == 2, f"a report of cfn-guard: {report[-300:]}"
    return set(re.findall(r"^rule (\w+)", RULES, re.MULTILINE)) - set(re.findall(r'"(\w+)"', "".join(lists)))


def unreadable(text: str) -> list[str]:
    """The documents that the validators of their own profile would refuse; AppConfig says so only when one is deployed."""
    resources = cfn_yaml.loads(text)["Resources"]
    found = []
    for name, resource in resources.items():
        if resource["Type"] != "AWS::AppConfig::HostedConfigurationVersion":
            continue
        properties = resource["Properties"]
        profile = resources[properties["ConfigurationProfileId"]["Ref"]]["Properties"]
        document = plain(properties["Content"]["Fn::ToJsonString"])
        for validator in profile["Validators"]:
            schema = plain(validator["Content"]["Fn::ToJsonString"])
            assert len(json.dumps(schema)) <= 32_768, f"the validator of {name} is too large for AppConfig"
            errors = jsonschema.Draft4Validator(schema).iter_errors(document)
            found += [f"{name} {error.json_path}: {error.message[:120]}" for error in errors]
    return found


def plain(value):
    return json.loads(json.dumps(value))


def in_block(name: str, old: str, new: str):
    def mutate(text: str) -> str:
        found = block(text, name)
        return replaced(text, found, replaced(found, old, new))

    return mutate


# What a hurried hand would do, and the rule that must notice.
MUTATIONS = {
    "the transform is gone": (lambda text: replaced(text, "Transform: AWS::LanguageExtensions\n", ""), "language_extensions_declared"),
    "a version dies with its resource": (in_block("DeliveryGraphV1", "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete"), "published_versions_survive"),
    "a replaced version is deleted": (in_block("DeliveryGraphV1", "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete"), "published_versions_survive"),
    "a version is labelled otherwise": (in_block("DeliveryGraphV1", "VersionLabel: graph-v1", "VersionLabel: final"), "published_versions_survive"),
    "a failure needs no reason": (in_block("DeliveryGraphV1", "requires: [failure_reason]", "requires: [partner_order_number]"), "graphs_follow_the_delivery_rules"),
    "order management is not told": (in_block("DeliveryGraphV1", "notify_order_management", "notify_customer"), "graphs_follow_the_delivery_rules"),
    "an order begins in the middle": (in_block("DeliveryGraphV1", "initial: CREATED", "initial: PICKED_UP"), "graphs_follow_the_delivery_rules"),
    "a state has no way out": (in_block("DeliveryGraphV1", "kind: terminal\n              outcome: cancelled", "kind: attention"), "every_state_ends_or_goes_on"),
    "nothing watches a rollout": (in_block("Environment", "      Monitors:\n        - AlarmArn: !GetAtt RefusalAlarm.Arn\n          AlarmRoleArn: !GetAtt AlarmReaderRole.Arn\n", "      Monitors: []\n"), "routing_is_rolled_out_with_alarms"),
    "the routing is not kept": (in_block("DeliveryGraphRouting", "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete"), "routing_is_rolled_out_with_alarms"),
    "a rollout has no strategy": (in_block("RoutingRollout", "      DeploymentStrategyId: !Ref RolloutStrategy\n", ""), "routing_is_rolled_out_with_alarms"),
    "a profile takes anything": (in_block("RoutingProfile", "- Type: JSON_SCHEMA", "- Type: LAMBDA"), "profiles_validate"),
    "a profile lies elsewhere": (in_block("GraphProfile", "LocationUri: hosted", "LocationUri: ssm-document://graph"), "profiles_validate"),
}

wrong = []
chosen = [pathlib.Path(name) for name in sys.argv[1:]] or sorted(HOME.glob("*.yaml"))
for file in chosen:
    text = file.read_text(encoding="utf-8")
    found = broken(text) | set(unreadable(text))
    print(f"{file.name}: {'keeps every rule' if not found else 'breaks ' + ', '.join(sorted(found))}")
    wrong += [file.name] if found else []
if not sys.argv[1:]:
    refused = unreadable(replaced(shipped(), "kind: terminal", "kind: final"))
    print(f"a word that the schema does not know: {'caught' if refused else 'NOT caught'} by the profile's validator")
    wrong += [] if refused else ["the profile's validator"]
    for what, (mutate, rule) in MUTATIONS.items():
        found = broken(mutate(shipped()))
        caught = found == {rule}
        print(f"{what}: {'caught by ' + rule if caught else f'NOT caught by {rule} alone: {sorted(found)}'}")
        wrong += [] if caught else [what]
sys.exit(f"wrong: {', '.join(wrong)}" if wrong else 0)
