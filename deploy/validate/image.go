package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const dockerfile = "deploy/Dockerfile"

func checkImage(f *findings, source *source, settings map[string]*settings) {
	parsed, err := parser.Parse(strings.NewReader(f.read(dockerfile)))
	if err != nil {
		f.wrong(dockerfile, "%v", err)
		return
	}
	for _, warning := range parsed.Warnings {
		f.wrong(dockerfile, "%s", warning.Short)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		f.wrong(dockerfile, "%v", err)
		return
	}
	var names []string
	for _, stage := range stages {
		if !slices.Contains(names, stage.BaseName) {
			checkTag(f, source, dockerfile, stage.BaseName)
		}
		if tag, is := strings.CutPrefix(stage.BaseName, "rust:"); is {
			f.must(strings.HasPrefix(tag, source.rust), dockerfile, "`%s`: the repository says rust-version %s", stage.BaseName, source.rust)
		}
		names = append(names, stage.Name)
		checkCopies(f, stage, names)
	}
	checkLastStage(f, source, settings, stages[len(stages)-1])
	f.held("%s: parsed as BuildKit does, %d stages", dockerfile, len(stages))
}

// checkCopies looks up what a stage takes from the repository and from other stages.
func checkCopies(f *findings, stage instructions.Stage, names []string) {
	for _, command := range stage.Commands {
		if run, is := command.(*instructions.RunCommand); is {
			line := strings.Join(run.CmdLine, " ")
			if strings.Contains(line, "cargo build") {
				f.must(strings.Contains(line, "--locked") && strings.Contains(line, "--features cluster"), dockerfile,
					"cargo must build --locked and with --features cluster")
			}
		}
		copied, is := command.(*instructions.CopyCommand)
		if !is {
			continue
		}
		if copied.From != "" {
			f.must(slices.Contains(names, copied.From), dockerfile, "copies from `%s`, which is no stage", copied.From)
			continue
		}
		for _, path := range copied.SourcePaths {
			f.must(f.exists(path), dockerfile, "copies `%s`, which is not there", path)
			f.must(path == "." || keeps(f.read(".dockerignore"), path), dockerfile, "copies `%s`, which .dockerignore leaves out", path)
		}
	}
}

// keeps says whether a file in a folder that is left out is named as an exception; other files are kept.
func keeps(ignored, path string) bool {
	kept := true
	for line := range strings.Lines(ignored) {
		line = strings.TrimSpace(line)
		if exception, is := strings.CutPrefix(line, "!"); is {
			kept = kept || exception == path
		} else if line == path || line != "" && strings.HasPrefix(path, line+"/") {
			kept = false
		}
	}
	return kept
}

var number = regexp.MustCompile(`^[0-9]+$`)

// checkUser holds a container to a user, and a group if there is one, of numbers that are not root's.
func checkUser(f *findings, where, user string) {
	name, _, _ := strings.Cut(user, ":")
	id, err := strconv.Atoi(name)
	f.must(number.MatchString(name) && err == nil && id > 0, where, "user `%s`: write a number that is not 0", user)
}

func checkLastStage(f *findings, source *source, settings map[string]*settings, stage instructions.Stage) {
	user, ports, entry := "", []string{}, false
	var health []string
	labels := map[string]string{}
	for _, command := range stage.Commands {
		switch command := command.(type) {
		case *instructions.UserCommand:
			user = command.User
		case *instructions.ExposeCommand:
			ports = append(ports, command.Ports...)
		case *instructions.EntrypointCommand:
			entry = !command.PrependShell
		case *instructions.HealthCheckCommand:
			health = command.Health.Test
		case *instructions.LabelCommand:
			for _, label := range command.Labels {
				labels[label.Key] = strings.Trim(label.Value, `"`)
			}
		}
	}
	checkUser(f, dockerfile, user)
	f.must(entry, dockerfile, "ENTRYPOINT must be a list, so that SIGTERM reaches the service and no shell")
	if len(health) == 3 && health[0] == "CMD" {
		checkProbe(f, source, dockerfile, health[2])
	} else {
		f.wrong(dockerfile, "HEALTHCHECK must be a list of the script and a path")
	}
	const version = "org.opencontainers.image.version"
	f.must(labels[version] == source.version, dockerfile, "label %s is `%s`, the repository is at %s", version, labels[version], source.version)
	for path, own := range settings {
		f.must(slices.Equal(ports, []string{strconv.Itoa(own.port())}), dockerfile, "EXPOSE %s, and %s listens on %s",
			strings.Join(ports, " "), path, own.HTTP.Listen)
	}
	f.must(strings.Contains(f.read("deploy/healthcheck"), `port="${2:-`+strings.Join(ports, " ")+`}"`), "deploy/healthcheck",
		"asks another port than the image exposes")
}
