// Reads Guitar Pro files with alphaTab and prints, one JSON document a line, what it finds: the goldens' own layout.
// usage: node alphatab_reads.mjs PATH/TO/alphaTab.core.mjs FILE …
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const alphaTab = await import(pathToFileURL(process.argv[2]));
const settings = new alphaTab.Settings();
for (const path of process.argv.slice(3)) {
    const score = alphaTab.importer.ScoreLoader.loadScoreFromBytes(new Uint8Array(readFileSync(path)), settings);
    const bars = score.masterBars.map((bar) => ({
        start: bar.start,
        numerator: bar.timeSignatureNumerator,
        denominator: bar.timeSignatureDenominator,
        repeatStart: bar.isRepeatStart,
        repeatCount: bar.repeatCount,
        alternateEndings: bar.alternateEndings,
        tempo: bar.tempoAutomations.map((change) => [change.ratioPosition, change.value]),
    }));
    const tracks = score.tracks.map((track) => ({
        name: track.name,
        program: track.playbackInfo.program,
        percussion: track.staves.some((staff) => staff.isPercussion),
        staves: track.staves.map((staff) => ({
            tuning: [...staff.tuning],
            capo: staff.capo,
            notes: staff.bars.flatMap((bar) => bar.voices.flatMap((voice) => voice.beats.flatMap((beat) =>
                beat.notes.map((note) => ({
                    bar: bar.index,
                    voice: voice.index,
                    start: bar.masterBar.start + beat.playbackStart,
                    duration: beat.playbackDuration,
                    grace: beat.graceType,
                    string: staff.isPercussion ? null : note.string,
                    fret: staff.isPercussion ? null : note.fret,
                    pitch: staff.isPercussion ? null : note.realValue,
                    percussion: staff.isPercussion ? note.percussionArticulation : null,
                    tieDestination: note.isTieDestination,
                    dead: note.isDead,
                    palmMute: note.isPalmMute,
                    hammer: note.isHammerPullOrigin,
                    letRing: note.isLetRing,
                    ghost: note.isGhost,
                    harmonic: note.harmonicType,
                    slideOut: note.slideOutType,
                    slideIn: note.slideInType,
                    vibrato: note.vibrato,
                    bend: note.hasBend ? note.bendPoints.map((point) => [point.offset, point.value]) : null,
                })),
            ))),
        })),
    }));
    console.log(JSON.stringify({ title: score.title, artist: score.artist, tempo: score.tempo, bars, tracks }));
}
