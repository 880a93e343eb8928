"""An AWS emulator of our own on this machine, and a stack in it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import boto3


class Cloud:
    """The emulator ministack on a free port of 127.0.0.1; ends with the block."""

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Its default is every address of the machine.
        environment = os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        program = os.path.join(os.path.dirname(sys.executable), "ministack")
        self.process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/_ministack/health", timeout=1)
                return self
            except OSError:
                assert self.process.poll() is None, "the emulator has ended"
                time.sleep(0.1)
        raise TimeoutError("the emulator does not answer within 30 seconds")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


class Stack:
    """The stack of the template, changed only through change sets."""

    def __init__(self, cloud: Cloud, name: str = "waybill-graph"):
        self.name = name
        self.api = cloud.client("cloudformation")
        self.sets = 0

    def propose(self, text: str, kind: str = "UPDATE") -> dict:
        """Makes a change set and answers what AWS tells of it; nothing is changed yet."""
        self.sets += 1
        name = f"change-{self.sets}"
        self.api.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=text,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": "RolloutMinutes", "ParameterValue": "0"}, {"ParameterKey": "BakeMinutes", "ParameterValue": "0"}],
        )
        for _ in range(100):
            told = self.api.describe_change_set(StackName=self.name, ChangeSetName=name)
            if told["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                return told
            time.sleep(0.1)
        raise TimeoutError(f"change set {name} is not made")

    def execute(self, proposed: dict) -> None:
        self.api.execute_change_set(StackName=self.name, ChangeSetName=proposed["ChangeSetName"])
        for _ in range(300):
            status = self.api.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
            if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                return
            assert not status.endswith(("FAILED", "ROLLBACK_COMPLETE")), f"the stack is in {status}"
            time.sleep(0.1)
        raise TimeoutError("the stack is not complete within 30 seconds")

    def outputs(self) -> dict:
        stack = self.api.describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def changes(proposed: dict) -> dict:
    """Logical id to action."""
    return {it["ResourceChange"]["LogicalResourceId"]: it["ResourceChange"]["Action"] for it in proposed["Changes"]}
