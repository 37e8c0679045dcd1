package main

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "deploy/compose.yaml"

// What begins as root and gives that up by itself.
var beginsAsRoot = map[string]bool{"scylla": true}

func checkCompose(f *findings, source *source, own *settings) {
	folder, err := filepath.Abs(filepath.Join(f.root, "deploy"))
	if err != nil {
		f.wrong(composeFile, "%v", err)
		return
	}
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "compose.yaml")}},
		Environment: types.Mapping{},
	})
	if err != nil {
		f.wrong(composeFile, "%v", err)
		return
	}
	instances := 0
	for name, service := range project.Services {
		where := composeFile + ": " + name
		checkTag(f, source, where, service.Image)
		if !beginsAsRoot[name] {
			checkUser(f, where, service.User)
		}
		checkDependencies(f, project, where, service)
		for _, volume := range service.Volumes {
			if relative, err := filepath.Rel(folder, volume.Source); volume.Type == "bind" && err == nil {
				f.must(f.exists(filepath.Join("deploy", relative)), where, "mounts `%s`, which is not there", relative)
				f.must(volume.ReadOnly, where, "mounts `%s` so that it could be written to", relative)
			}
		}
		for _, port := range service.Ports {
			f.must(port.HostIP == "127.0.0.1", where, "port %s is open to everybody who reaches the machine", port.Published)
		}
		if strings.HasPrefix(service.Image, "muster:") {
			checkMuster(f, source, own, where, service)
			if len(service.Ports) > 0 {
				instances++
			}
		}
	}
	f.must(instances == 2, composeFile, "two instances are what it is to show, and it has %d", instances)
	checkTopics(f, own, composeFile, project.Services["topics"].Environment.Resolve(func(string) (string, bool) { return "", false }))
	f.held("%s: loaded as Compose does, %d services", composeFile, len(project.Services))
}

func checkDependencies(f *findings, project *types.Project, where string, service types.ServiceConfig) {
	for name, dependency := range service.DependsOn {
		other := project.Services[name]
		switch dependency.Condition {
		case types.ServiceConditionHealthy:
			f.must(other.HealthCheck != nil && !other.HealthCheck.Disable, where, "waits for %s to be healthy, which has no healthcheck", name)
		case types.ServiceConditionCompletedSuccessfully:
			f.must(other.Restart == "no", where, "waits for %s to end, which is started again", name)
		default:
			f.wrong(where, "waits for %s only to be started", name)
		}
	}
}

// checkMuster holds containers of the service to what a read-only one needs.
func checkMuster(f *findings, source *source, own *settings, where string, service types.ServiceConfig) {
	f.must(service.ReadOnly, where, "must be read_only")
	f.must(slices.Equal(service.CapDrop, []string{"ALL"}), where, "must give up all capabilities")
	var secrets []string
	for _, secret := range service.Secrets {
		secrets = append(secrets, "/run/secrets/"+secret.Source)
	}
	for _, path := range own.files() {
		f.must(slices.Contains(secrets, path), where, "the settings read `%s`, which is no secret of it", path)
	}
	for workspace, path := range own.Workspaces {
		f.must(slices.ContainsFunc(service.Volumes, func(volume types.ServiceVolumeConfig) bool { return volume.Target == path }),
			where, "the rules of %s are in `%s`, which is not mounted", workspace, path)
	}
	f.must(slices.ContainsFunc(service.Tmpfs, func(tmpfs string) bool {
		path, _, _ := strings.Cut(tmpfs, ":")
		return path == own.Modules.Artefacts
	}), where, "`modules.artefacts` is %s, where nothing can be written", own.Modules.Artefacts)
	if len(service.Ports) == 0 {
		return
	}
	for _, port := range service.Ports {
		f.must(int(port.Target) == own.port(), where, "publishes port %d, and the settings listen on %s", port.Target, own.HTTP.Listen)
	}
	f.must(service.StopGracePeriod != nil && time.Duration(*service.StopGracePeriod) > own.drain(), where,
		"stop_grace_period must be longer than `http.drain_wait`, %s", own.drain())
	if check := service.HealthCheck; check != nil && len(check.Test) == 3 {
		checkProbe(f, source, where, check.Test[2])
	} else {
		f.wrong(where, "the healthcheck must name a path")
	}
}

// checkTopics holds what is made in Pulsar to what the settings read and write, and tells the partitions.
func checkTopics(f *findings, own *settings, where string, environment types.MappingWithEquals) int {
	value := func(name string) string {
		if text := environment[name]; text != nil {
			return *text
		}
		return ""
	}
	for _, name := range []string{"ADMIN_URL", "NAMESPACE"} {
		f.must(value(name) != "", where, "topics.sh needs %s", name)
	}
	topic := ""
	if len(own.Pulsar.Source.Topics) > 0 {
		topic = own.Pulsar.Source.Topics[0]
	}
	for name, wanted := range map[string]string{
		"MESSAGES": topic, "TRANSITIONS": own.Pulsar.Sink.Topic, "DEAD_LETTERS": own.Pulsar.Source.DeadLetters,
		"SUBSCRIPTION": own.Pulsar.Source.Subscription,
	} {
		f.must(value(name) == wanted, where, "%s is `%s`, and the settings say `%s`", name, value(name), wanted)
	}
	partitions, err := strconv.Atoi(value("PARTITIONS"))
	f.must(err == nil && partitions > 0, where, "PARTITIONS is `%s`: write a number", value("PARTITIONS"))
	return partitions
}
