package main

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// settings are what other files must agree with.
type settings struct {
	HTTP struct {
		Listen    string `toml:"listen"`
		DrainWait string `toml:"drain_wait"`
	} `toml:"http"`
	Store struct {
		Kind string `toml:"kind"`
		CQL  struct {
			PasswordFile string `toml:"password_file"`
			Authority    string `toml:"authority"`
		} `toml:"cql"`
	} `toml:"store"`
	Pulsar struct {
		TokenFile string `toml:"token_file"`
		Authority string `toml:"authority"`
		Source    struct {
			Topics       []string `toml:"topics"`
			Subscription string   `toml:"subscription"`
			DeadLetters  string   `toml:"dead_letters"`
		} `toml:"source"`
		Sink struct {
			Topic string `toml:"topic"`
		} `toml:"sink"`
	} `toml:"pulsar"`
	Engine struct {
		Threads int `toml:"threads"`
	} `toml:"engine"`
	Modules struct {
		Artefacts string `toml:"artefacts"`
	} `toml:"modules"`
	Workspaces map[string]string `toml:"workspaces"`
}

// files are the secrets that the settings name.
func (s *settings) files() []string {
	var files []string
	for _, path := range []string{s.Store.CQL.PasswordFile, s.Store.CQL.Authority, s.Pulsar.TokenFile, s.Pulsar.Authority} {
		if path != "" {
			files = append(files, path)
		}
	}
	return files
}

func (s *settings) port() int {
	_, port, err := net.SplitHostPort(s.HTTP.Listen)
	if err != nil {
		return 0
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return number
}

func (s *settings) drain() time.Duration {
	drain, err := time.ParseDuration(s.HTTP.DrainWait)
	if err != nil {
		// The default.
		return 10 * time.Second
	}
	return drain
}

// Tables whose keys are names that people give.
var named = map[string]bool{"workspaces": true, "modules.limits_of": true}

func checkSettings(f *findings, source *source) map[string]*settings {
	all := map[string]*settings{}
	for _, path := range f.filesUnder("deploy", "muster.toml") {
		var tree map[string]any
		own := &settings{}
		text := f.read(path)
		if _, err := toml.Decode(text, &tree); err != nil {
			f.wrong(path, "%v", err)
			continue
		}
		if _, err := toml.Decode(text, own); err != nil {
			f.wrong(path, "%v", err)
			continue
		}
		all[path] = own
		keys := checkTable(f, source, path, "", tree)
		f.must(own.Store.Kind == "cql", path, "`store.kind` is not `cql`: instances would not share anything")
		f.must(strings.HasPrefix(own.HTTP.Listen, "0.0.0.0:"), path, "`http.listen` must be 0.0.0.0 in a container")
		f.must(len(own.Pulsar.Source.Topics) == 1, path, "one topic is what the job makes")
		f.must(own.Modules.Artefacts != "", path, "`modules.artefacts` must be a folder that may be written to")
		f.must(!regexp.MustCompile(`(?m)^open = true`).MatchString(text), path, "`access.open` lets everybody in")
		f.held("%s: all %d settings are in host/src/muster.toml", path, keys)
	}
	for _, path := range []string{"deploy/compose/muster.toml", "deploy/kubernetes/settings/muster.toml"} {
		if all[path] == nil {
			f.wrong(path, "is missing or cannot be read")
			all[path] = &settings{}
		}
	}
	return all
}

// checkTable looks keys up in the default settings, and counts them.
func checkTable(f *findings, source *source, path, table string, tree map[string]any) int {
	count := 0
	for key, value := range tree {
		name := strings.TrimPrefix(table+"."+key, ".")
		switch value := value.(type) {
		case map[string]any:
			_, known := source.settings[name]
			f.must(known || named[table], path, "[%s] is no table of host/src/muster.toml", name)
			count += checkTable(f, source, path, name, value)
		case []map[string]any:
			for _, entry := range value {
				count += checkTable(f, source, path, name, entry)
			}
		default:
			count++
			if named[table] {
				continue
			}
			if parent, _, _ := strings.Cut(table, ".limits_of."); parent != table {
				name = "modules.limits." + key
				table = "modules.limits"
			}
			f.must(source.settings[table][key], path, "`%s` is no setting of host/src/muster.toml", name)
		}
	}
	return count
}
