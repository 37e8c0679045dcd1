package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// source is what the service's sources say of themselves.
type source struct {
	// Of the repository, and of the oldest Rust that compiles it.
	version, rust string
	// Paths that are answered to GET, with what asking needs.
	routes map[string]string
	// Tables of the default settings, with their keys.
	settings map[string]map[string]bool
	// Names of what /metrics tells.
	metrics map[string]bool
}

var (
	routeLine   = regexp.MustCompile(`Route::new\(\s*Method::GET,\s*"([^"]+)",\s*(?:Need::)?(\w+)`)
	tableLine   = regexp.MustCompile(`^(?:# )?\[+([a-z_]+(?:\.[a-z_]+)*)\]+$`)
	keyLine     = regexp.MustCompile(`^(?:# )?([a-z_]+) = .`)
	counterCall = regexp.MustCompile(`\.counters?\(\s*"([a-z_]+)"`)
	figureName  = regexp.MustCompile(`"(muster_[a-z_]+)"`)
	histogram   = regexp.MustCompile(`HistogramOpts::new\(\s*"(muster_[a-z_]+)"`)
	versionLine = regexp.MustCompile(`(?m)^version = "([0-9.]+)"$`)
	rustLine    = regexp.MustCompile(`(?m)^rust-version = "([0-9.]+)"$`)
)

func readSource(f *findings) *source {
	s := &source{routes: map[string]string{}, settings: map[string]map[string]bool{}, metrics: map[string]bool{}}
	cargo := f.read("Cargo.toml")
	if found := versionLine.FindStringSubmatch(cargo); found != nil {
		s.version = found[1]
	}
	if found := rustLine.FindStringSubmatch(cargo); found != nil {
		s.rust = found[1]
	}
	for _, found := range routeLine.FindAllStringSubmatch(f.read("host/src/api/routes.rs"), -1) {
		s.routes[found[1]] = found[2]
	}
	s.readSettings(f)
	s.readMetrics(f)
	// An expression that finds nothing any more would hold everything, or nothing, to be right.
	f.must(s.version != "" && s.rust != "", "Cargo.toml", "no version is found")
	f.must(len(s.routes) > 10, "host/src/api/routes.rs", "only %d routes are found", len(s.routes))
	f.must(len(s.settings) > 8, "host/src/muster.toml", "only %d tables are found", len(s.settings))
	f.must(len(s.metrics) > 20, "host/src/metrics.rs", "only %d figures are found", len(s.metrics))
	f.held("the sources say: %d routes, %d tables of settings, %d figures", len(s.routes), len(s.settings), len(s.metrics))
	return s
}

// readSettings goes by lines, so that what the default file only shows, as comments, counts too.
func (s *source) readSettings(f *findings) {
	table := ""
	for line := range strings.Lines(f.read("host/src/muster.toml")) {
		line = strings.TrimRight(line, "\n")
		if found := tableLine.FindStringSubmatch(line); found != nil {
			table = found[1]
			s.settings[table] = map[string]bool{}
		} else if found := keyLine.FindStringSubmatch(line); found != nil && table != "" {
			s.settings[table][found[1]] = true
		}
	}
}

func (s *source) readMetrics(f *findings) {
	files := []string{"host/src/metrics.rs"}
	more, _ := filepath.Glob(filepath.Join(f.root, "host/src/metrics/*.rs"))
	for _, path := range more {
		relative, err := filepath.Rel(f.root, path)
		if err == nil {
			files = append(files, relative)
		}
	}
	for _, path := range files {
		text := f.read(path)
		for _, found := range counterCall.FindAllStringSubmatch(text, -1) {
			s.metrics["muster_"+found[1]+"_total"] = true
		}
		histograms := map[string]bool{}
		for _, found := range histogram.FindAllStringSubmatch(text, -1) {
			histograms[found[1]] = true
		}
		for _, found := range figureName.FindAllStringSubmatch(text, -1) {
			if !histograms[found[1]] {
				s.metrics[found[1]] = true
				continue
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				s.metrics[found[1]+suffix] = true
			}
		}
	}
}

// filesUnder lists files of a folder, and of those in it, by the end of their names.
func (f *findings) filesUnder(folder, suffix string) []string {
	var files []string
	err := filepath.WalkDir(filepath.Join(f.root, folder), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() && strings.HasSuffix(path, suffix) {
			relative, err := filepath.Rel(f.root, path)
			if err != nil {
				return err
			}
			files = append(files, relative)
		}
		return nil
	})
	if err != nil {
		f.wrong(folder, "cannot be read: %v", err)
	}
	return files
}
