package demo

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/brianvoe/gofakeit/v7"
	"github.com/google/uuid"
	"github.com/lib/pq"
)

// epoch is when the first demo memory was created.
var epoch = time.Date(2025, 1, 1, 8, 0, 0, 0, time.UTC)

var (
	agents     = []string{"support-bot", "coding-assistant", "travel-planner", "health-coach", "sales-copilot"}
	categories = []string{"preferences", "work", "family", "health", "travel", "food", "finance", "projects", "schedule", "hobbies, arts"}
	statuses   = []string{"COMPLETED", "COMPLETED", "COMPLETED", "COMPLETED", "PROCESSING", "PENDING", "FAILED"}
	priorities = []string{"LOW", "MEDIUM", "MEDIUM", "HIGH"}
)

// row returns the i-th memory of a workspace. The values have the order of the columns in Fill.
func row(workspaceID string, i int) []any {
	hash := fnv.New64a()
	hash.Write([]byte(workspaceID))
	source := rand.NewPCG(hash.Sum64(), uint64(i))
	fake := gofakeit.NewFaker(source, false)
	var id uuid.UUID
	for b := range id {
		id[b] = byte(fake.IntRange(0, 255))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4

	// On average there is about one memory per minute. Memories come in pairs with the same created_at.
	created := epoch.Add(time.Duration(i/4*4) * 53 * time.Second).Add(time.Duration(i%4/2) * 1234567 * time.Microsecond)
	var accessed *time.Time
	count := 0
	if fake.IntRange(0, 3) > 0 {
		count = fake.IntRange(1, 500)
		t := created.Add(time.Duration(fake.IntRange(1, 90*24*3600)) * time.Second)
		accessed = &t
	}
	return []any{
		id.String(), text(fake, i), optional(fake, fmt.Sprintf("user-%03d", fake.IntRange(1, 200))),
		optional(fake, agents[fake.IntRange(0, len(agents)-1)]), optional(fake, fmt.Sprintf("session-%05d", i/7)),
		priorities[fake.IntRange(0, len(priorities)-1)], statuses[fake.IntRange(0, len(statuses)-1)],
		pq.Array(some(fake)), metadata(fake, i), workspaceID, count, accessed, created,
		created.Add(time.Duration(fake.IntRange(0, 3600)) * time.Second),
	}
}

// text returns a few sentences about a person. Some texts contain characters that break careless
// exporters.
func text(fake *gofakeit.Faker, i int) string {
	switch i % 50 {
	case 7:
		return fmt.Sprintf("%s said: \"%s\"\nand then, on a new line:\r\n\t'%s'", fake.FirstName(), fake.Sentence(), fake.Word())
	case 13:
		return "Präferenz: " + fake.Color() + " — 好きな色は" + fake.Emoji() + "، مرحبا بالعالم, ñandú, 👩🏽‍🚀 e\u0301"
	case 21:
		return "=SUM(A1:A9) is what " + fake.FirstName() + " typed; keep it as text"
	case 29:
		return "# Not a heading\n> not a quote\n```\nnot code\n```\n<script>alert('no')</script> [link](http://example.com)"
	case 37:
		return strings.Repeat(fake.Paragraph(2, 5, 12, " ")+"\n\n", 12)
	case 43:
		return ""
	}
	facts := []func() string{
		func() string {
			return fmt.Sprintf("%s prefers %s over %s and usually orders it before noon.", fake.FirstName(), fake.Drink(), fake.BeerStyle())
		},
		func() string {
			return fmt.Sprintf("Works as %s at %s in %s; asked to be addressed as %s.", fake.JobTitle(), fake.Company(), fake.City(), fake.Name())
		},
		func() string {
			return fmt.Sprintf("Is planning a trip to %s, %s. %s", fake.City(), fake.Country(), fake.Sentence())
		},
		func() string {
			return fmt.Sprintf("The project uses %s; the build must stay below %d minutes. %s", fake.ProgrammingLanguage(), fake.IntRange(2, 30), fake.HackerPhrase())
		},
		func() string {
			return fmt.Sprintf("Favourite book: %s by %s. %s", fake.BookTitle(), fake.BookAuthor(), fake.Sentence())
		},
	}
	return facts[fake.IntRange(0, len(facts)-1)]()
}

func optional(fake *gofakeit.Faker, value string) *string {
	if fake.IntRange(0, 9) == 0 {
		return nil
	}
	return &value
}

func some(fake *gofakeit.Faker) []string {
	chosen := []string{}
	for range fake.IntRange(0, 3) {
		chosen = append(chosen, categories[fake.IntRange(0, len(categories)-1)])
	}
	return chosen
}

// metadata returns a JSON object, or nil for NULL.
func metadata(fake *gofakeit.Faker, i int) any {
	if i%5 == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{
		"source":     fake.RandomString([]string{"chat", "email", "import", "voice"}),
		"confidence": float64(fake.IntRange(50, 100)) / 100,
		"language":   fake.LanguageAbbreviation(),
		"tags":       []string{fake.Word(), fake.HackerNoun()},
		"place":      map[string]any{"city": fake.City(), "note": "“" + fake.Word() + "”"},
	})
	if err != nil {
		panic(err) // cannot happen: the map contains only strings and numbers
	}
	return string(data)
}
