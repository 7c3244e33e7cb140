import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs checks one after another and counts them. */
final class Checks {
    interface Work {
        void run() throws Exception;
    }

    /** This check cannot be done here; says why. */
    static final class Skipped extends RuntimeException {
        Skipped(String why) {
            super(why);
        }
    }

    private static final int LIMIT_SECONDS = 40;

    private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });
    private int passed;
    private int failed;

    void check(String what, Work work) {
        Future<?> outcome = threads.submit(() -> {
            work.run();
            return null;
        });
        try {
            outcome.get(LIMIT_SECONDS, TimeUnit.SECONDS);
            passed++;
            System.out.println("ok " + what);
        } catch (TimeoutException error) {
            fail(what, "no end after " + LIMIT_SECONDS + " s");
        } catch (Exception error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            if (cause instanceof Skipped) System.out.println("skipped: " + what + ": " + cause.getMessage());
            else fail(what, cause + " " + Arrays.stream(cause.getStackTrace()).filter(at -> at.getClassName().startsWith("Main")).findFirst().orElse(null));
        }
    }

    private void fail(String what, String why) {
        failed++;
        System.out.println("FAILED " + what + ": " + why.replaceAll("\\s+", " "));
    }

    void finish() {
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed > 0 || passed == 0 ? 1 : 0);
    }

    static void equal(Object actual, Object expected, String what) {
        if (!Objects.deepEquals(actual, expected)) {
            throw new AssertionError(what + ": " + shorten(actual) + " instead of " + shorten(expected));
        }
    }

    private static String shorten(Object value) {
        String text = String.valueOf(value);
        return text.length() <= 200 ? text : text.substring(0, 200) + "…";
    }

    /** Kills the broker and starts it again: same port, same data. */
    static String needRestart() {
        String command = System.getenv("LEVERET_RESTART");
        if (command == null || command.isEmpty()) throw new Skipped("no LEVERET_RESTART");
        return command;
    }

    static void restartBroker() throws Exception {
        Process process = new ProcessBuilder("sh", "-c", needRestart()).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        equal(process.waitFor(), 0, "exit code of the restart");
    }
}
