from tests.deploy.tools import DEPLOY, ROOT, SCRIPTS, check

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def lines() -> list[list[str]]:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_hadolint_finds_nothing() -> None:
    check(SCRIPTS / "hadolint", "--failure-threshold", "style", DOCKERFILE)


def test_image_does_not_run_as_root() -> None:
    (user,) = [words[1] for words in lines() if words[0] == "USER"]
    assert user == "65532:65532"


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {source for words in lines() if words[0] == "COPY" and "--from" not in words[1] for source in words[1:-1]}
    assert {source.partition("/")[0] for source in copied} == sent
    for name in copied:
        assert (ROOT / name).exists(), name
